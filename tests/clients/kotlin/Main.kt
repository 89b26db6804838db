import java.io.File
import java.util.UUID
import okhttp3.Request
import org.openapitools.client.apis.AccountsApi
import org.openapitools.client.apis.RecordingsApi
import org.openapitools.client.apis.UploadsApi
import org.openapitools.client.infrastructure.ApiClient
import org.openapitools.client.infrastructure.ClientException
import org.openapitools.client.models.NewRecording
import org.openapitools.client.models.Recording
import org.openapitools.client.models.SignUp

val base: String = System.getenv("RECORDER_URL")

fun main() {
    val address = "${UUID.randomUUID()}@example.com"
    val signedUp = AccountsApi(base).signUp(SignUp(email = address, password = "battery staple, correctly"))
    ApiClient.accessToken = signedUp.accessToken
    thereAndBack(NewRecording.UploadMethod.put, 1000)
    thereAndBack(NewRecording.UploadMethod.multipart, 9 * 1024 * 1024)
}

fun thereAndBack(method: NewRecording.UploadMethod, size: Int) {
    val uploads = UploadsApi(base)
    val recordings = RecordingsApi(base)
    val data = ByteArray(size) { (it * 31L % 251).toByte() }
    val begun = uploads.beginUpload(
        NewRecording(
            fileName = "${method.value}.m4a",
            contentType = "audio/mp4",
            propertySize = size.toLong(),
            uploadMethod = method,
        )
    )
    val file = File.createTempFile("sound", null)
    file.deleteOnExit()
    file.writeBytes(data)
    send(begun.upload!!, file)
    val id = begun.recording.id
    check(uploads.completeUpload(id).status == Recording.Status.ready)
    check(recordings.listRecordings(limit = 10).recordings.any { it.id == id })
    val audio = recordings.getRecording(id).audio!!
    val played = s3.newCall(Request.Builder().url(audio.url).build()).execute().use { it.body.bytes() }
    check(played.contentEquals(data))
    recordings.deleteRecording(id, permanent = true)
    check(runCatching { recordings.getRecording(id) }.exceptionOrNull() is ClientException)
}
