"""What may be wrong with a gateway's place, looked at from outside and without changing it."""
