"""States of the mobile ions: from embeddings to labels, names and gates."""
