"""The API's document, held against a running gateway by schemathesis."""
