"""What all brokers between instances share: notices, what waits to be sent, who follows what. Pure."""
