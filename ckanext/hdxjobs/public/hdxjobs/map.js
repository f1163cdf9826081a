/** A live map of one preview: sources, controls, first view, and a word for every fault. */

const version = new URL(import.meta.url).search;
const PADDING_PX = 32;
const CLOSEST_FIRST_VIEW_ZOOM = 15;
// How long a visitor may look at tiles of a file that was replaced meanwhile.
const CHECK_EVERY_MS = 60_000;
// Whether tiles are made now is asked less and less often: a layer that was given up stays as it is for hours.
const ASK_PREPARED_FIRST_MS = 3_000;
const ASK_PREPARED_LATER_MS = 60_000;

const sourceId = (index) => `hdxjobs-data-${index}`;

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Every request for our own data stays on the origin the visitor is on, whatever the site's URL says. */
function stayOnOrigin(ownPath) {
  return (url) => {
    const target = new URL(url, document.baseURI);
    if (!target.pathname.startsWith(ownPath)) return { url: target.href };
    return { url: `${location.origin}${target.pathname}${target.search}` };
  };
}

function plainText(html) {
  return new DOMParser().parseFromString(html, 'text/html').body.textContent.trim();
}

/** The messages over the map: one line at a time, or none. */
class Messages {
  constructor(element, text) {
    this.element = element;
    this.text = text;
    // What the template shows until the first word from here.
    this.key = 'loading';
    this.line = element.querySelector('[data-hdxjobs-message]');
    this.button = element.querySelector('[data-hdxjobs-again]');
    this.download = element.querySelector('[data-hdxjobs-download]');
  }

  show(key, { again = null, download = false } = {}) {
    this.key = key;
    this.line.textContent = this.text[key];
    this.line.hidden = false;
    this.button.hidden = !again;
    this.button.onclick = again;
    this.download.hidden = !download;
  }

  hide() {
    this.key = null;
    this.line.hidden = true;
    this.button.hidden = true;
    this.download.hidden = true;
  }
}

function newMap(element, settings, parts) {
  const scheme = parts.style.colourScheme();
  const view = settings.bounds
    ? { bounds: settings.bounds, fitBoundsOptions: { padding: PADDING_PX, maxZoom: CLOSEST_FIRST_VIEW_ZOOM } }
    : { center: [0, 20], zoom: 1 };
  return new parts.maplibre.Map({
    container: element.querySelector('[data-hdxjobs-canvas]'),
    style: parts.style.baseStyle(settings.basemap, scheme),
    locale: settings.locale,
    attributionControl: false,
    cooperativeGestures: true,
    // North stays up: a turned map helps nobody to recognise a place.
    dragRotate: false,
    touchPitch: false,
    pitchWithRotate: false,
    maxPitch: 0,
    maxZoom: 20,
    transformRequest: stayOnOrigin(settings.tiles_path),
    ...view,
  });
}

function addControls(map, element, { maplibre }) {
  const rightToLeft = getComputedStyle(element).direction === 'rtl';
  const [start, end] = rightToLeft ? ['right', 'left'] : ['left', 'right'];
  map.addControl(new maplibre.NavigationControl({ showCompass: false }), `top-${end}`);
  map.addControl(new maplibre.FullscreenControl({ container: element }), `top-${end}`);
  map.addControl(new maplibre.ScaleControl(), `bottom-${start}`);
  map.keyboard.disableRotation();
  map.touchZoomRotate.disableRotation();
  return `top-${start}`;
}

/** Credits as plain text: what the site says, and what style and sources bring along. */
function keepCredits(map, element, settings) {
  const line = element.querySelector('[data-hdxjobs-credits]');
  const fixed = settings.basemap.attribution;
  const update = () => {
    const sources = Object.keys(map.getStyle()?.sources ?? {});
    const brought = sources.map((id) => plainText(map.getSource(id)?.attribution ?? ''));
    line.textContent = [...new Set([fixed, ...brought, 'MapLibre'])].filter(Boolean).join(' · ');
  };
  map.on('sourcedata', (event) => event.sourceDataType === 'metadata' && update());
  map.once('style.load', update);
}

class PreviewMap {
  constructor(element, settings, parts) {
    Object.assign(this, { element, settings, parts });
    this.messages = new Messages(element, settings.text);
    this.scheme = parts.style.colourScheme();
    this.groundLayers = () => [];
    this.hidden = new Set();
    this.faults = 0;
    this.map = newMap(element, settings, parts);
    element.hdxjobsMap = this.map;
    this.legendCorner = addControls(this.map, element, parts);
    keepCredits(this.map, element, settings);
    this.map.on('error', (event) => this.onError(event));
    this.map.on('style.load', () => this.onStyle());
    this.map.once('idle', () => this.onFirstIdle());
    this.map.once('idle', () => this.followPreparing());
    this.checkedAt = Date.now();
    this.map.on('moveend', () => this.checkVersion());
    this.followScheme();
  }

  dataLayers() {
    const { style } = this.parts;
    const layers = this.settings.layers.flatMap((_, index) => style.dataLayers(sourceId(index), index, this.scheme));
    for (const layer of layers) layer.layout.visibility = this.hidden.has(layer.source) ? 'none' : 'visible';
    return style.stacked(layers);
  }

  tilejsonUrl(index) {
    return new URL(this.settings.layers[index].tilejson, document.baseURI).href;
  }

  addData() {
    this.settings.layers.forEach((layer, index) => {
      const source = { type: 'vector', url: this.tilejsonUrl(index) };
      if (layer.source_bounds) source.bounds = layer.source_bounds;
      this.map.addSource(sourceId(index), source);
    });
    for (const layer of this.dataLayers()) this.map.addLayer(layer);
  }

  onStyle() {
    this.styled = true;
    this.addData();
    if (this.settings.basemap.kind === 'land') this.addLand();
    this.addLegend();
    this.inspector = new this.parts.popup.Inspector(this.map, {
      Popup: this.parts.maplibre.Popup,
      layers: this.settings.layers,
      layerIds: this.dataLayers().map(({ id }) => id),
      sourceId,
      text: this.settings.text,
    });
  }

  addLand() {
    this.groundLayers = this.parts.land.addLand(this.map, {
      folder: new URL(this.settings.land, document.baseURI).href,
      version,
      below: this.dataLayers()[0]?.id,
      landLayers: this.parts.style.landLayers,
      scheme: () => this.scheme,
    });
  }

  addLegend() {
    if (this.settings.layers.length < 2) return;
    this.legend = new this.parts.legend.Legend({
      layers: this.settings.layers,
      title: this.settings.text.layers,
      colours: (index) => this.parts.style.colour(this.scheme, index),
      onToggle: (index, visible) => this.toggle(index, visible),
    });
    this.map.addControl(this.legend, this.legendCorner);
  }

  toggle(index, visible) {
    if (visible) this.hidden.delete(sourceId(index));
    else this.hidden.add(sourceId(index));
    for (const { id, source, layout } of this.dataLayers()) {
      if (source === sourceId(index)) this.map.setLayoutProperty(id, 'visibility', layout.visibility);
    }
    this.inspector.close();
  }

  onFirstIdle() {
    this.element.dataset.state = this.faults ? 'error' : 'ready';
    if (this.messages.key !== 'loading') return;
    if (this.settings.layers.length) this.messages.hide();
    else this.messages.show('empty', { download: true });
  }

  onError({ error, sourceId: source }) {
    console.error(error);
    if (!this.styled) {
      // The site's own style cannot be had: the data does not need it.
      this.settings.basemap = { kind: 'none', attribution: '' };
      this.map.setStyle(this.parts.style.baseStyle(this.settings.basemap, this.scheme));
      this.messages.show('basemap_failed');
    } else if (source?.startsWith('hdxjobs-data-')) {
      this.faults += 1;
      this.element.dataset.state = 'error';
      this.messages.show(this.faultKey(error?.status), { again: () => this.again() });
    } else if (!this.faults) {
      this.messages.show('basemap_failed');
    }
  }

  faultKey(status) {
    if (status === 404 || status === 410) return 'data_gone';
    if (status === 401 || status === 403) return 'data_forbidden';
    return status ? 'data_busy' : 'data_unreachable';
  }

  /** Ask for the layers once more, TileJSON and all. */
  again() {
    this.faults = 0;
    this.element.dataset.state = 'loading';
    this.messages.show('loading');
    // New sources: MapLibre never asks again for a tile that failed (seen with 6.17).
    this.inspector.close();
    for (const { id } of this.dataLayers()) this.map.removeLayer(id);
    this.settings.layers.forEach((_, index) => this.map.removeSource(sourceId(index)));
    this.addData();
    this.map.once('idle', () => this.onFirstIdle());
  }

  /**
   * Is the data on view still what is served?  A tile of a version that went away looks
   * like an empty one, and a visitor would take the hole for the truth.
   */
  async checkVersion() {
    const source = this.map.getSource(sourceId(0));
    if (!source?.tiles || Date.now() - this.checkedAt < CHECK_EVERY_MS) return;
    this.checkedAt = Date.now();
    const { pathname } = new URL(this.settings.layers[0].tilejson, document.baseURI);
    try {
      const response = await fetch(pathname, { cache: 'no-cache' });
      if (response.status === 404 || response.status === 403) this.messages.show(this.faultKey(response.status));
      if (!response.ok) return;
      const { tiles } = await response.json();
      if (tiles[0] !== source.tiles[0]) this.messages.show('data_gone');
    } catch (error) {
      // Tiles say it themselves when the site cannot be reached.
      console.warn(error);
    }
  }

  /** While tiles are samples, say so: they expire soon, and MapLibre asks for better ones by itself. */
  async followPreparing() {
    let { open, preparing } = await this.askPrepared([...this.settings.layers.keys()], 'default');
    let pauseMs = ASK_PREPARED_FIRST_MS;
    while (open.length && this.element.isConnected) {
      await pause(pauseMs);
      pauseMs = Math.min(2 * pauseMs, ASK_PREPARED_LATER_MS);
      ({ open, preparing } = await this.askPrepared(open, 'no-cache'));
      if (preparing && !this.messages.key) this.messages.show('preparing');
    }
    if (this.messages.key === 'preparing') this.messages.hide();
  }

  /**
   * Ask for TileJSON of the layers with these indexes: which are still open, and whether one is said to be prepared now.
   * MapLibre reads that of the others again where preparing gave them more zooms.
   */
  async askPrepared(indexes, cache) {
    const told = await Promise.all(indexes.map((index) => this.askTilejson(index, cache)));
    const isOpen = (answer) => answer === null || answer?.prepared === false;
    indexes.forEach((index, number) => {
      const source = this.map.getSource(sourceId(index));
      const answer = told[number];
      // From the browser's cache: the answer that was just had has the same URL.
      if (answer && !isOpen(answer) && answer.maxzoom !== source?.maxzoom) source?.setUrl(this.tilejsonUrl(index));
    });
    return {
      open: indexes.filter((_, number) => isOpen(told[number])),
      preparing: told.some((answer) => answer?.prepared === false),
    };
  }

  /** A layer's TileJSON; null: nobody can tell now; undefined: there is no such layer any more. */
  async askTilejson(index, cache) {
    const { pathname, search } = new URL(this.tilejsonUrl(index));
    try {
      const response = await fetch(pathname + search, { cache });
      if (response.status === 404 || response.status === 403) return undefined;
      return response.ok ? await response.json() : null;
    } catch (error) {
      console.warn(error);
      return null;
    }
  }

  followScheme() {
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.setScheme());
    this.element.dataset.scheme = this.scheme;
  }

  setScheme() {
    const { style } = this.parts;
    this.scheme = style.colourScheme();
    this.element.dataset.scheme = this.scheme;
    style.repaint(this.map, [...this.dataLayers(), ...this.groundLayers()], this.scheme, this.settings.basemap);
    this.legend?.repaint();
  }
}

/** Draw the preview of `settings` (see helpers.py) inside `element`. */
export function drawMap(element, settings, parts) {
  try {
    return new PreviewMap(element, settings, parts);
  } catch (error) {
    if (error?.name !== 'GPUInitializationError' && document.createElement('canvas').getContext('webgl2')) throw error;
    console.error(error);
    element.dataset.state = 'error';
    new Messages(element, settings.text).show('no_webgl', { download: true });
    return null;
  }
}
