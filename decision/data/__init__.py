"""The country data that come with the program."""

BUILT_IN = "builtin"  # stands for them in the list of databases
