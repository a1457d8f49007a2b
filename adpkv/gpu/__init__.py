"""GPUs: kernels over lists of jobs, in order on one stream, whose results are polled."""
