"""The digest of the code follows what a script really runs."""

from getsei import provenance


def test_follows_imports_and_compiled_sources():
    names = {path.relative_to(provenance.ROOT).as_posix() for path in provenance.code_files("run_md.py")}
    assert {"run_md.py", "getsei/job.py", "getsei/dynamics/engine.py", "getsei/potentials/models.py"} <= names
    native = provenance.ROOT / "getsei/potentials/native"
    sources = {path.relative_to(provenance.ROOT).as_posix() for path in native.glob("*.?pp")}
    assert len(sources) > 1
    assert sources <= names
    assert not any("kinetics" in name for name in names)
    page = {path.name for path in provenance.code_files("build_report.py")}
    assert {"page.html.j2", "page.css", "page.js"} <= page


def test_changes_with_an_imported_module_only(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/__init__.py").touch()
    (tmp_path / "lib/used.py").write_text("from lib import deeper\n")
    (tmp_path / "lib/deeper.py").write_text("A = 1\n")
    (tmp_path / "lib/other.py").write_text("B = 1\n")
    (tmp_path / "script.py").write_text("from lib import used\n")
    before = provenance.code_digest("script.py")
    (tmp_path / "lib/other.py").write_text("B = 2\n")
    assert provenance.code_digest("script.py") == before
    (tmp_path / "lib/deeper.py").write_text("A = 2\n")
    assert provenance.code_digest("script.py") != before


def test_file_digest(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert provenance.file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_versions():
    assert provenance.versions("numpy", "no-such-package")["no-such-package"] == "absent"
