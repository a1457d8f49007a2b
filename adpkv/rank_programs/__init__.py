"""A user's own rank programs, all ranks in one process under a seeded scheduler (`adpkv check`)."""
