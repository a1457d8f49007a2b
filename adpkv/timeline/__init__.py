"""The timeline of a run: what its groups did and when, written as it goes, shown by Perfetto."""
