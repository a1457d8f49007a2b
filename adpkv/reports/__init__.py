"""`adpkv report`: a run or a sweep as one page of plots."""
