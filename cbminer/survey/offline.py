"""A stand-in for the network, for those who must not or cannot use it."""

import httpx

__all__ = ["NoNetwork"]


class NoNetwork(httpx.BaseTransport):
    """Refuses every request, at once and for good."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse a request.

        Parameters
        ----------
        request : `httpx.Request`
            The request.

        Raises
        ------
        httpx.UnsupportedProtocol
            Always: another try would not help.
        """
        msg = "no server is to be asked: leave out --offline"
        raise httpx.UnsupportedProtocol(msg, request=request)
