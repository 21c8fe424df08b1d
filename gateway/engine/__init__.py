"""Models run here: in child processes that hold nothing but one model and its tensors."""
