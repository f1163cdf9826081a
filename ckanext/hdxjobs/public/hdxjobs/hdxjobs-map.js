/**
 * The one script of a page with a map or a panel that waits for one.
 *
 * It loads the other modules, all at once and with its own version in the query, and
 * hands them to each other: no module here imports another, so a browser never mixes
 * two releases. MapLibre itself (its folder names its version) is only loaded when
 * there is a map to draw.
 *
 * A map is an element with `data-hdxjobs-map`: JSON, see `helpers.py`. When the map
 * stands, its element has the property `hdxjobsMap` (MapLibre's Map) and the attribute
 * `data-state` says "loading", "ready" or "error".
 */
const version = new URL(import.meta.url).search;

function load(name) {
  return import(`./${name}.js${version}`);
}

function loadStyleSheet(href) {
  const present = [...document.querySelectorAll('link[rel="stylesheet"]')].some((link) => link.href === href);
  if (present) return Promise.resolve();
  return new Promise((resolve) => {
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = href;
    // A map without its style sheet is ugly but still a map: go on either way.
    link.onload = resolve;
    link.onerror = resolve;
    document.head.append(link);
  });
}

async function startMap(element) {
  const settings = JSON.parse(element.dataset.hdxjobsMap);
  element.dataset.state = 'loading';
  try {
    const folder = new URL(settings.maplibre, document.baseURI).href;
    const [maplibre, map, style, land, popup, legend] = await Promise.all([
      import(`${folder}maplibre-gl.js`),
      load('map'),
      load('style'),
      load('land'),
      load('popup'),
      load('legend'),
      loadStyleSheet(`${folder}maplibre-gl.css`),
    ]);
    maplibre.setWorkerUrl(`${folder}maplibre-gl-worker.js`);
    map.drawMap(element, settings, { maplibre, style, land, popup, legend });
  } catch (error) {
    console.error(error);
    element.dataset.state = 'error';
    const message = element.querySelector('[data-hdxjobs-message]');
    message.textContent = settings.text.script_failed;
    message.hidden = false;
    element.querySelector('[data-hdxjobs-download]').hidden = false;
  }
}

/** Draw each map below `root` that is not drawn yet. */
function startMaps(root) {
  for (const element of root.querySelectorAll('[data-hdxjobs-map]:not([data-state])')) startMap(element);
}

async function startPanels() {
  const panels = document.querySelectorAll('[data-hdxjobs-panel]');
  if (!panels.length) return;
  const { watchPanel } = await load('panel');
  for (const panel of panels) watchPanel(panel, startMaps);
}

startMaps(document);
startPanels();
