"""The stand-in for Azure Functions Core Tools."""
