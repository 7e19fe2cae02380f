// A browser for test/e2e: `set_password.js CHROMIUM LINK PASSWORD [SCREENSHOT]`. Opens a set-password link in Chromium with
// JavaScript off, fills in the form by its labels if there is one, and prints what it saw as JSON: each page with its address, title,
// text and the tree that a screen reader gets, each request with its referrer, and what else the console says.
import { chromium } from "playwright-core";

const [executablePath, link, password, screenshot] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] }); // the tests may run as root
const seen = { pages: [], requests: [], console: [] };
try {
  // The certificate is one that the server made for itself.
  const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false, viewport: { width: 800, height: 600 } });
  const page = await context.newPage();
  page.on("console", (m) => m.text().startsWith("Failed to load resource") || seen.console.push(m.text())); // a status is the page's to tell
  page.on("request", (r) => seen.requests.push({ url: r.url(), method: r.method(), referrer: r.headers().referer ?? "" }));
  const look = async (name) => {
    seen.pages.push({ url: page.url(), title: await page.title(), text: await page.innerText("main"), tree: await page.ariaSnapshot("main") });
    for (const colorScheme of screenshot ? ["light", "dark"] : []) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: `${screenshot}-${name}-${colorScheme}.png` });
    }
  };
  await page.goto(link);
  await look("first");
  const field = page.getByLabel("New password");
  if (await field.count()) {
    await field.fill(password);
    await page.getByLabel("The same again").fill(password);
    await page.getByRole("button", { name: "Set the password" }).click();
    await page.waitForLoadState();
    await look("then");
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
