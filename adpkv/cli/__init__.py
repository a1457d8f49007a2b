"""The command line: one thin file per command; `app` puts them together."""
