"""The networks of the shipped models, in PyTorch; one file each."""
