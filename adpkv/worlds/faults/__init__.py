"""A rank's faults, put around its ports: transport, mailbox, clock and program."""
