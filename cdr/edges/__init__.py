"""Each module translates one outside thing; the only imports of a database driver, an Azure SDK or requests."""
