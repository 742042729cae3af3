"""SSLCommerz v4, as far as public sources know it (the SSLCommerz dossier, §1.10)."""
