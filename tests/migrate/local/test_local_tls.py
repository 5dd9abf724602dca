"""Certificates of the local AWS (migrate.local.tls). until phase 3"""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from migrate.local.tls import CA_DAYS, SERVER_DAYS, ensure_certificates

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_made_once_with_private_keys(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path / "tls", NOW)
    before = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert set(before) == {"ca.pem", "ca.key", "server.pem", "server.key"}
    for key in ("ca.key", "server.key"):
        assert stat.S_IMODE((tmp_path / "tls" / key).stat().st_mode) == 0o600
    ensure_certificates(tmp_path / "tls", NOW + timedelta(days=100))
    assert {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == before
    server = x509.load_pem_x509_certificate(files.certfile.read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert "127.0.0.1" in [str(address) for address in names.get_values_for_type(x509.IPAddress)]


def test_server_certificate_is_renewed_in_time_the_authority_stays(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path, NOW)
    ca, server = files.ca.read_bytes(), files.certfile.read_bytes()
    ensure_certificates(tmp_path, NOW + timedelta(days=SERVER_DAYS - 10))
    assert files.ca.read_bytes() == ca
    assert files.certfile.read_bytes() != server


def test_everything_is_made_again_when_the_authority_ends(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path, NOW)
    ca = files.ca.read_bytes()
    ensure_certificates(tmp_path, NOW + timedelta(days=CA_DAYS - 1))
    assert files.ca.read_bytes() != ca
    x509.load_pem_x509_certificate(files.certfile.read_bytes()).verify_directly_issued_by(
        x509.load_pem_x509_certificate(files.ca.read_bytes())
    )


def test_damaged_files_are_replaced(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path, NOW)
    files.keyfile.write_text("damaged")
    ensure_certificates(tmp_path, NOW)
    assert files.keyfile.read_text().startswith("-----BEGIN PRIVATE KEY")
