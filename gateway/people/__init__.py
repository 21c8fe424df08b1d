"""The people of tenants: administered, signing in, letting clients act for them."""
