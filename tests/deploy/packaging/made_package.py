"""A small package with every way in which its modules reach each other."""

FILES = {
    "__init__.py": "",
    "start.py": (
        "import json\n"
        "from shop.goods import apple\n"
        "spoken_of = 'shop.goods.unused is not needed'\n"
        "def late():\n"
        "    from shop.late import value\n"
        "    return value\n"
        "def by_name():\n"
        "    import importlib\n"
        "    return importlib.import_module('shop.by_name').value\n"
    ),
    "goods/__init__.py": "",
    "goods/apple.py": "import shop.goods.pear\nstate = []\nvalue = shop.goods.pear.value + 1\n",
    "goods/pear.py": "value = 1\n",
    "late.py": "value = 'late'\n",
    "by_name.py": (
        "from pathlib import Path\n"
        "value = (Path(__file__).parent / 'pages' / 'one.html').read_text()\n"
    ),
    "pages/one.html": "<p>one</p>",
    "pages/two.css": "p {}",
    "goods/unused/__init__.py": "",
    "goods/unused/three.css": "p {}",
}
REACHED = {"shop", "shop.start", "shop.goods", "shop.goods.apple", "shop.goods.pear"} | {
    "shop.late",
    "shop.by_name",
}


def make(folder):
    """Write the package and return its folder."""
    for name, content in FILES.items():
        path = folder / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder / "shop"
