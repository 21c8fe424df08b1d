"""Thin HTTP routers, problem details and dependencies."""
