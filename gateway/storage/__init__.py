"""Control-plane stores: in memory and through SQLAlchemy."""
