"""Who is calling: issuers, tokens, bindings, clients and the embedded authorization server."""
