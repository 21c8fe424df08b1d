"""Every kind of intent, every step at which the process ends: finished or undone, nothing else."""
