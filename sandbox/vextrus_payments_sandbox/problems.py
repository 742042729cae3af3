"""Why the sandbox itself refuses a request; what a gateway says no with is that gateway's own."""


class SandboxError(Exception):
    """A request to the sandbox itself (not to a gateway) that cannot be carried out."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class KeysError(SandboxError):
    """A gateway of the sandbox cannot keep or use keys of its own."""

    def __init__(self, message: str, gateway: str) -> None:
        super().__init__(message, 500)
        self.gateway = gateway
