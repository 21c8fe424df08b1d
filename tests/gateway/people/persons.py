"""People of the tests, and what they sign in with."""

from __future__ import annotations

from dataclasses import dataclass

from tests.gateway.people.browser import Browser
from tests.gateway.place import Place

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Ada:
    """A person of a tenant.

    Attributes:
        id: The pseudonym.
        code: Of the invitation.
    """

    tenant: str
    address: str
    id: str
    code: str

    @classmethod
    def invited(cls, place: Place, address: str, tenant: str = "acme", **rights: object) -> Ada:
        body = {
            "email": address,
            "name": "Ada Lovelace",
            "roles": ["caller"],
            "purposes": ["care"],
            "default_purpose": "care",
        }
        with place.admin() as admin:
            made = admin.post(f"/v1/tenants/{tenant}/people", body | rights)
        return cls(tenant, address, made["person"], made["code"])

    @classmethod
    def accepted(cls, place: Place, address: str, **rights: object) -> Ada:
        made = cls.invited(place, address, **rights)  # type: ignore[arg-type]
        browser = Browser(place.url)
        made.accept(browser)
        assert browser.path == "/people", browser.text
        browser.close()
        return made

    def accept(self, browser: Browser, password: str = PASSWORD) -> Browser:
        given = {"tenant": self.tenant, "code": self.code, "password": password, "again": password}
        return browser.open("/people/invitation").send("/people/invitation", **given)

    def sign_in(self, browser: Browser, password: str = PASSWORD) -> Browser:
        given = {"tenant": self.tenant, "email": self.address, "password": password}
        return browser.open("/people/sign-in").send("/people/sign-in", **given)
