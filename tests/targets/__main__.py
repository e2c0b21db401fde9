"""Write the golden renders anew, after a template was changed on purpose: python -m tests.targets"""

from tests.targets import devices
from tests.targets.examples import GOLDEN, RENDERED
from toolkit.targets import files

for name, rendered in RENDERED.items():
    print(f"{len(files.write(rendered, GOLDEN / name))} files in {GOLDEN / name}")
print(f"{len(devices.write())} files in {devices.DIFFS}")
