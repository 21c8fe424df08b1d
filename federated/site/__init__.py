"""What runs at a partner site: keys, configuration, data, the SuperNode and its tasks."""
