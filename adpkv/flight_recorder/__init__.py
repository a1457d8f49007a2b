"""What each rank does, written down as it happens: the file, its writer, its readers."""
