"""What an engine proves itself with: the contract suite, toy data and a toy engine to read first."""
