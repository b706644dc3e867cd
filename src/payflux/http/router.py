"""Paths and methods: a dictionary look-up for a dozen fixed paths, and a second one for paths that end in a name."""

from collections.abc import Mapping

from payflux.http.messages import Handler, Request, Respond, Response, problem

NOT_FOUND = problem(404, "not_found", "no such path")


class Router:
    """Sends each request to the handler of its path and method.

    Args:
        routes: by path, then method; a last segment in braces stands for any that is not empty. HEAD goes to GET's
            handler; the server leaves the body away.
    """

    def __init__(self, routes: Mapping[str, Mapping[str, Handler]]) -> None:
        self._routes: dict[tuple[str, str], Handler] = {}
        self._allow: dict[str, Response] = {}
        for template, methods in routes.items():
            path = _template(template) if template.endswith("}") else template
            for method, handler in methods.items():
                self._routes[path, method] = handler
                if method == "GET":
                    self._routes[path, "HEAD"] = handler
            names = sorted({*methods, "HEAD"} if "GET" in methods else methods)
            allow = ", ".join(names)
            self._allow[path] = problem(
                405, "method_not_allowed", f"this path takes {allow}", headers=[(b"Allow", allow.encode())]
            )

    def admit(self, request: Request) -> Response | None:
        """Refuse unknown paths and methods, then ask the handler."""
        handler = self._routes.get((request.path, request.method)) or self._named(request)
        if handler is None:
            return self._allow.get(request.path) or self._allow.get(_template(request.path)) or NOT_FOUND
        return handler.admit(request)

    def _named(self, request: Request) -> Handler | None:
        return self._routes.get((_template(request.path), request.method))

    def handle(self, request: Request, respond: Respond) -> None:
        """Pass an admitted request on."""
        handler = self._routes.get((request.path, request.method)) or self._named(request)
        assert handler is not None
        handler.handle(request, respond)


def _template(path: str) -> str:
    """The path with braces in place of its last segment; of a path that ends in none, and of one in braces, itself."""
    parent, _, name = path.rpartition("/")
    return f"{parent}/{{}}" if name and name != "{}" else path
