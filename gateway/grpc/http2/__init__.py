"""HTTP/2 as a gRPC server needs it: pure, without sockets and clocks of its own."""
