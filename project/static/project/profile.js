"use strict";

// Fills in the profile from the API; without this script the page shows what Django has rendered.

const profile = document.getElementById("profile");
const source = document.getElementById("source");
const again = document.getElementById("again");

function shown(value) {
  if (value === null || value === "") {
    return "–";
  }
  if (typeof value === "boolean") {
    return value ? "yes" : "no";
  }
  if (/^\d{4}-\d\d-\d\dT/.test(value)) {
    return new Date(value).toISOString().slice(0, 19).replace("T", " ");
  }
  return String(value);
}

function ask() {
  return fetch(profile.dataset.url, { headers: { Accept: "application/json" } });
}

// What Clerk's getToken() does: a token lives for 60 seconds.
function renew() {
  const csrf = profile.querySelector("[name=csrfmiddlewaretoken]").value;
  return fetch(profile.dataset.tokenUrl, { method: "POST", headers: { "X-CSRFToken": csrf } });
}

async function fill() {
  const began = performance.now();
  let answer = await ask();
  if (answer.status === 401 && (await renew()).ok) {
    answer = await ask();
  }
  if (!answer.ok) {
    source.textContent = `The API answered ${answer.status}: this is what Django has rendered.`;
    return;
  }
  const user = await answer.json();
  for (const cell of profile.querySelectorAll("[data-field]")) {
    cell.firstElementChild.textContent = shown(user[cell.dataset.field]);
  }
  const age = answer.headers.get("Clerk-Data-Age");
  const took = Math.round(performance.now() - began);
  source.textContent = `From the API, in ${took} ms, ${age === null ? "fresh" : `${age} s old`}.`;
}

function start() {
  fill().catch(() => {
    source.textContent = "The API could not be reached: this is what Django has rendered.";
  });
}

again.hidden = false;
again.addEventListener("click", start);
start();
