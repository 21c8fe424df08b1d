"""Real models against admission: `python -m tests.corpus`. None of them is kept here."""
