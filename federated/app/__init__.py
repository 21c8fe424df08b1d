"""The Flower app (FAB) that the coordinator starts and that every site checks against its own."""
