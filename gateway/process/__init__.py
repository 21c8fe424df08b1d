"""One gateway process: its doors, its operators' door, its child processes."""
