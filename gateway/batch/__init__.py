"""Batch jobs: rows come in sealed, go through the pipeline by chunks, results leave sealed."""
