"""The guided tour behind `sealgate demo`."""
