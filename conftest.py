"""Leave out what cannot be imported here: the application needs the MONAI Deploy SDK."""

from importlib.util import find_spec

collect_ignore = (
    [] if find_spec("holoscan") else ["custom/deploy/application.py", "custom/deploy/operators.py"]
)
