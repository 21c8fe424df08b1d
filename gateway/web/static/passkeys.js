// Asks the browser for a passkey, and puts what it says into the form that asks for it. WebAuthn has no
// other door than script. Nothing is fetched: the request is in the page, the answer goes as a form.
"use strict";

(() => {
  const bytes = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace(/=+$/, "");
  const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  const read = (form) => {
    const asked = JSON.parse(form.dataset.passkey);
    asked.challenge = bytes(asked.challenge);
    if (asked.user) {
      asked.user.id = bytes(asked.user.id);
      asked.excludeCredentials = known(asked.excludeCredentials);
    } else if (asked.allowCredentials) {
      asked.allowCredentials = known(asked.allowCredentials);
    }
    return asked;
  };

  const answer = async (form) => {
    const asked = read(form);
    const found = asked.user
      ? await navigator.credentials.create({ publicKey: asked })
      : await navigator.credentials.get({ publicKey: asked });
    const said = found.response;
    form.elements.credential.value = text(found.rawId);
    form.elements.client_data.value = text(said.clientDataJSON);
    form.elements.data.value = text(said.attestationObject || said.authenticatorData);
    if (!asked.user) {
      form.elements.signature.value = text(said.signature);
      form.elements.handle.value = said.userHandle ? text(said.userHandle) : "";
    }
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const told = form.querySelector("[role=status]");
    if (!window.PublicKeyCredential) {
      told.textContent = "This browser knows no passkeys, or the page is not served securely.";
      continue;
    }
    const button = form.querySelector("button");
    button.disabled = false;
    form.addEventListener("submit", async (event) => {
      if (form.elements.credential.value) return;
      event.preventDefault();
      button.disabled = true;
      try {
        await answer(form);
        form.requestSubmit();
      } catch {
        told.textContent = "The browser gave no passkey: it was cancelled, took too long, or none fits.";
        button.disabled = false;
      }
    });
  }
})();
