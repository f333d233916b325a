"""The page, floor 5: a process of its own that reads stores and now-files and shows them.

It can change nothing: stores are opened read-only, there are GET and HEAD routes only, and an
import contract keeps it from links, pollers and uplinks. Promises:

* Without a token it listens on this machine only; `Guard` checks host, method and token of each
  request and puts the same strict headers on each answer, errors included.
* Nothing comes from elsewhere: no address outside `static/` is in the page, and the content
  security policy forbids all others.
* What a pack, an agent or a message calls itself is shown as text, never as markup.
* A value is shown with its age; what nobody reported is "not reported", never 0.
* What can be taken away is CSV, reports, and the flight recordings beside a store: nothing else.
* A long range is downsampled where it is stored; CSV is streamed; memory stays bounded.

The token: the page asks `GET /api/session` with `Authorization: Bearer TOKEN` and gets a cookie
(HttpOnly, SameSite=Strict) that holds an expiry and its HMAC under the token. So the server keeps
no session and has no route that changes anything, and no script can read what lets a browser in. A
link `http://HOST:8090/#token=...` logs in at once: what follows # never leaves the browser.

Modules: `guard` (who gets in, and the headers), `sources` (stores and now-files), `view` (what a
pack looks like), `fleet` (worst first), `export` (CSV), `flights` (captures around critical
events), `reporting`, `downloads` (all three as files), `routes`, `server`.
"""

from packtap.web.routes import make_app
from packtap.web.server import serve

__all__ = ["make_app", "serve"]
