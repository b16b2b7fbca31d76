"""PyTorch side of semrt: simulates, trains, exports and proves the shipped models; semrt itself never imports it."""
