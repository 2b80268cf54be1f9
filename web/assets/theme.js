// Runs before the first paint, so that a chosen theme does not flash the other. Everything else is in app.js.
try {
  const theme = JSON.parse(localStorage.getItem('tailbuck.prefs') ?? '{}').theme;
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
} catch { /* no storage: the system's theme holds */ }
