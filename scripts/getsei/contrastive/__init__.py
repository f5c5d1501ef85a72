"""Contrastive learning of ion environments."""
