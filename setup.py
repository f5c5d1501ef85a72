"""Which folders make the package: the library, and the files it reads from beside it."""

from setuptools import find_packages, setup

DATA = {"getsei.config.structures": "config/structures", "getsei.workflow.schemas": "workflow/schemas"}

setup(
    packages=[*find_packages("scripts"), *DATA],
    package_dir={"getsei": "scripts/getsei", **DATA},
    package_data={
        "getsei.potentials.native": ["*.cpp", "*.hpp"],
        "getsei.report": ["*.j2", "*.css", "*.js"],
        **{key: ["*.yaml"] for key in DATA},
    },
)
