"""Read what a page shows."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """What a page refers to, its tables, the best of them, and which elements are not closed."""

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.sources, self.tables, self.open, self.best = [], [], [], []
        self.marked = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.sources += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.marked = attributes.get("class") == "best"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "td" and self.marked:
            self.best.append(self.tables[-1][-1][-1])

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data.strip().replace("\xa0", " ")
