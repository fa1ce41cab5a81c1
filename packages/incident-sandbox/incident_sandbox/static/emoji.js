// The shortcodes that messages about incidents use; others are shown as they were written.

const EMOJI = {
  "+1": "👍", "-1": "👎", alarm_clock: "⏰", ambulance: "🚑", arrow_down: "⬇️", arrow_right: "➡️", arrow_up: "⬆️",
  bar_chart: "📊", bell: "🔔", black_circle: "⚫", blue_book: "📘", book: "📖", bookmark_tabs: "📑", boom: "💥",
  bug: "🐛", bulb: "💡", calendar: "📆", chart_with_downwards_trend: "📉", chart_with_upwards_trend: "📈",
  checkered_flag: "🏁", clipboard: "📋", clock1: "🕐", eyes: "👀", fire: "🔥", fire_engine: "🚒", gear: "⚙️",
  globe_with_meridians: "🌐", green_circle: "🟢", grey_question: "❔", hammer_and_wrench: "🛠️", heavy_check_mark: "✔️",
  hourglass: "⌛", hourglass_flowing_sand: "⏳", information_source: "ℹ️", key: "🔑", label: "🏷️",
  large_blue_circle: "🔵", large_green_circle: "🟢", large_orange_circle: "🟠", large_red_circle: "🔴",
  large_yellow_circle: "🟡", link: "🔗", lock: "🔒", mag: "🔍", mega: "📣", memo: "📝", no_entry: "⛔",
  no_entry_sign: "🚫", notebook: "📓", orange_book: "📙", page_facing_up: "📄", pushpin: "📌", question: "❓",
  raised_hands: "🙌", red_circle: "🔴", repeat: "🔁", robot_face: "🤖", rocket: "🚀", rotating_light: "🚨",
  satellite: "📡", sparkles: "✨", speech_balloon: "💬", stopwatch: "⏱️", tada: "🎉", test_tube: "🧪",
  thumbsup: "👍", traffic_light: "🚦", triangular_flag_on_post: "🚩", wave: "👋", warning: "⚠️", white_check_mark: "✅",
  white_circle: "⚪", wrench: "🔧", x: "❌", zap: "⚡",
};

/** Return the character of a shortcode, without its colons, or null. */
export function emoji(name) {
  return Object.hasOwn(EMOJI, name) ? EMOJI[name] : null;
}
