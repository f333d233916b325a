"""A diagnosis for people, floor 4: gathered in constant memory, judged, drawn on one page.

`gather` takes digests, `case` puts everything that is shown into one value (screen, JSON and page
say the same), `drawing` makes shapes of it, `page` fills the template. The door of jinja2.
"""
