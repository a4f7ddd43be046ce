"""What importing this package adds to importing MONAI.

Run: ``python -m benchmarks.import_time``
"""

from __future__ import annotations

from typing import Any

from benchmarks.measure import Timing, in_new_process, save

RUNS = 5
CODE = """
import json, time
begin = time.process_time()
import monai
import monai.bundle, monai.data, monai.engines, monai.handlers, monai.inferers, monai.transforms
middle = time.process_time()
import custom
package = time.process_time()
import re, importlib, pathlib
text = ''.join(p.read_text() for p in pathlib.Path('bundles').glob('*/configs/*.yaml'))
names = set(re.findall(r'custom(?:[.][a-z_0-9]+)+', text))
# What is named may be a function of a module; a file says which is which.
modules = sorted(n for n in names if pathlib.Path(n.replace('.', '/') + '.py').is_file())
for name in modules:
    importlib.import_module(name)
end = time.process_time()
print(json.dumps({'monai': middle - begin, 'custom': package - middle, 'parts': end - middle}))
"""


def run() -> dict[str, Any]:
    """Import in fresh interpreters."""
    draws = [in_new_process(CODE) for _ in range(RUNS)]
    timing = {key: Timing.of([draw[key] for draw in draws]) for key in draws[0]}
    figures = {
        "import_monai": timing["monai"],
        "import_custom_adds": timing["custom"],
        "every_module_the_configs_name_adds": timing["parts"],
        "parts_over_monai": timing["parts"].median / timing["monai"].median,
    }
    save("import_time", figures)
    return figures


if __name__ == "__main__":
    for key, value in run().items():
        print(f"{key:40s} {value.median if isinstance(value, Timing) else value:.3g}")
