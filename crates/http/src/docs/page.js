// Shows the document, and puts the token of whoever signs in above into every request.
"use strict";
let session = null;

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
});

const element = (id) => document.getElementById(id);

function use(signIn) {
  session = signIn;
  element("who").textContent = `${signIn.user.display_name} (${signIn.user.role})`;
  ui.preauthorizeApiKey("bearer", signIn.access_token);
  setTimeout(renew, (signIn.expires_in - 60) * 1000);
}

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Accept-Language": navigator.language },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.message);
  return answer;
}

async function renew() {
  try {
    use(await post("/api/v1/auth/refresh", { refresh_token: session.refresh_token }));
  } catch (error) {
    element("who").textContent = error.message;
  }
}

element("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    use(await post("/api/v1/auth/login", { email: element("email").value, password: element("password").value }));
  } catch (error) {
    element("who").textContent = error.message;
  }
});
