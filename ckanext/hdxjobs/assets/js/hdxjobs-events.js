/**
 * Reports what happens on the page to CKAN, which looks up names and delivers: page views, searches,
 * clicks on links, shares, and the use of maps. No cookie, nothing stored, no other site.
 *
 * A visitor who asks not to be tracked (DNT, Global Privacy Control) is not.
 */
this.ckan.module('hdxjobs-events', function () {
  'use strict';

  var SHARES = {
    'x.com': 'x', 'twitter.com': 'x', 'facebook.com': 'facebook', 'linkedin.com': 'linkedin',
    'bsky.app': 'bluesky', 'reddit.com': 'reddit', 'wa.me': 'whatsapp', 't.me': 'telegram'
  };

  function objects() {
    return navigator.globalPrivacyControl === true || navigator.doNotTrack === '1';
  }

  function withPage(properties) {
    var told = {'page title': document.title};
    Object.keys(properties).forEach(function (name) { told[name] = properties[name]; });
    return told;
  }

  return {
    options: {url: '', about: {}, search: null},

    initialize: function () {
      if (objects() || !this.options.url) return;
      this._seen = {};
      this._onClick = this._onClick.bind(this);
      document.addEventListener('click', this._onClick, true);
      document.addEventListener('auxclick', this._onClick, true);
      this._whenVisible(this._reportPage.bind(this));
      this._watchMaps();
    },

    teardown: function () {
      document.removeEventListener('click', this._onClick, true);
      document.removeEventListener('auxclick', this._onClick, true);
      if (this._maps) this._maps.disconnect();
    },

    /** Send events; the browser does so by itself, even when the page is left at once. */
    report: function (events) {
      var body = JSON.stringify({page: {url: location.href, referrer: document.referrer}, events: events});
      var sent = navigator.sendBeacon &&
        navigator.sendBeacon(this.options.url, new Blob([body], {type: 'application/json'}));
      if (!sent) {
        fetch(this.options.url, {
          method: 'POST', body: body, keepalive: true, headers: {'Content-Type': 'application/json'}
        }).catch(function () { /* the page goes on without its events */ });
      }
    },

    /** A page that is loaded ahead or in a hidden tab has not been viewed yet. */
    _whenVisible: function (then) {
      if (document.visibilityState === 'visible') return then();
      document.addEventListener('visibilitychange', then, {once: true});
    },

    _reportPage: function () {
      var events = [{name: 'page view', properties: withPage(this._about(['dataset id', 'resource id', 'org id']))}];
      if (this.options.search) events.push({name: 'search', properties: withPage(this.options.search)});
      this.report(events);
    },

    _about: function (names) {
      var about = this.options.about || {};
      return names.reduce(function (told, name) {
        if (about[name]) told[name] = about[name];
        return told;
      }, {});
    },

    _onClick: function (click) {
      var link = click.target.closest && click.target.closest('a[href]');
      if (!link || click.button > 1) return;
      var event = this._clicked(link);
      if (event) this.report([event]);
    },

    _clicked: function (link) {
      if (!/^(https?|mailto):$/.test(link.protocol)) return null;
      if (link.closest('.social')) return this._share(link);
      if (link.protocol === 'mailto:' || link.host === location.host) return null;
      if (link.classList.contains('resource-url-analytics')) return this._download(link);
      var properties = this._about(['dataset id', 'resource id']);
      properties['link type'] = 'external';
      properties['link label'] = link.textContent.trim().slice(0, 200);
      properties['destination url'] = (link.origin + link.pathname).slice(0, 500);
      return {name: 'link click', properties: withPage(properties)};
    },

    /** A file on another site. The site itself counts those that it hands out. */
    _download: function (link) {
      var item = link.closest('[data-id]');
      var properties = this._about(['dataset id', 'resource id']);
      if (item) properties['resource id'] = item.dataset.id;
      return {name: 'resource download', properties: withPage(properties)};
    },

    _share: function (link) {
      var host = link.hostname.replace(/^www\./, '');
      var properties = this._about(['dataset id']);
      properties['share type'] = link.protocol === 'mailto:' ? 'email' : SHARES[host] || host;
      properties['shared item'] = properties['dataset id'] ? 'dataset' : 'page';
      return {name: 'share', properties: withPage(properties)};
    },

    /** Maps may come after the page: one that was still being made appears in place. */
    _watchMaps: function () {
      var self = this;
      var watched = new WeakSet();
      if (!window.IntersectionObserver || !window.MutationObserver) return;
      var views = new IntersectionObserver(function (entries) {
        entries.forEach(function (entry) {
          if (!entry.isIntersecting) return;
          views.unobserve(entry.target);
          self._once('preview viewed', {});
        });
      }, {threshold: 0.5});
      var look = function () {
        document.querySelectorAll('[data-hdxjobs-map][data-state="ready"]').forEach(function (map) {
          if (watched.has(map)) return;
          watched.add(map);
          views.observe(map);
          self._watchUse(map);
        });
      };
      this._maps = new MutationObserver(look);
      this._maps.observe(document.body, {
        subtree: true, childList: true, attributes: true, attributeFilter: ['data-state']
      });
      look();
    },

    _watchUse: function (map) {
      var self = this;
      var from = null;
      var used = function (kind) { self._once('map interaction', {'interaction type': kind}); };
      map.addEventListener('wheel', function () { used('zoom'); }, {passive: true});
      map.addEventListener('change', function () { used('layers'); });
      map.addEventListener('pointerdown', function (event) { from = [event.clientX, event.clientY]; }, true);
      map.addEventListener('pointerup', function (event) {
        if (!from) return;
        if (event.target.closest('button')) return used('zoom');
        used(Math.abs(event.clientX - from[0]) + Math.abs(event.clientY - from[1]) > 5 ? 'move' : 'click');
      }, true);
    },

    /** A kind of event that counts once on a page. */
    _once: function (name, properties) {
      var key = name + JSON.stringify(properties);
      if (this._seen[key]) return;
      this._seen[key] = true;
      var told = this._about(['dataset id', 'resource id']);
      Object.keys(properties).forEach(function (property) { told[property] = properties[property]; });
      this.report([{name: name, properties: told}]);
    }
  };
});
